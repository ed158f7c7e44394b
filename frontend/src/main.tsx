import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import "./theme.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { browserWorld, Store } from "./state/store";
import { applyTheme, savedTheme, watchSystemTheme } from "./state/theme";
import { StoreContext } from "./state/useStore";

applyTheme(savedTheme());
watchSystemTheme();

const root = document.getElementById("root");
if (!root) throw new Error("The page has no #root element.");

const store = new Store(browserWorld());
void store.connect();

createRoot(root).render(
  <StrictMode>
    <StoreContext value={store}>
      <App />
    </StoreContext>
  </StrictMode>,
);
