import "@fontsource-variable/inter";
import "@fontsource-variable/jetbrains-mono";
import "./theme.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { browserEnvironment } from "./app/environment";
import { Store } from "./app/store";
import { applyTheme, savedTheme, watchSystemTheme } from "./app/theme";
import { StoreContext } from "./app/useStore";
import { TraceDrop } from "./ui/TraceDrop";

applyTheme(savedTheme());
watchSystemTheme();

const root = document.getElementById("root");
if (!root) throw new Error("The page has no #root element.");

const store = new Store(browserEnvironment());

createRoot(root).render(
  <StrictMode>
    <StoreContext value={store}>
      <App />
      <TraceDrop />
    </StoreContext>
  </StrictMode>,
);
