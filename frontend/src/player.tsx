// The player: the live page in one file, with one recorded run in it. It needs no server.
import "./fonts.css";
import "./theme.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { recordedEnvironment } from "./app/environment";
import { Store } from "./app/store";
import { applyTheme, savedTheme, watchSystemTheme } from "./app/theme";
import { unpacked } from "./app/unpacked";
import { StoreContext } from "./app/useStore";
import { OnDemand } from "./ui/OnDemand";
import "./ui/page.css";
import { TraceDrop } from "./ui/TraceDrop";
import { Live } from "./views/live/Live";

applyTheme(savedTheme());
watchSystemTheme();

const root = document.getElementById("root");
const trace = document.getElementById("trace")?.textContent;
if (!root || trace == null) throw new Error("The page has no #root or no #trace element.");

const store = new Store(recordedEnvironment("file", () => unpacked(trace)));

createRoot(root).render(
  <StrictMode>
    <StoreContext value={store}>
      <OnDemand>
        <Live />
      </OnDemand>
      <TraceDrop />
    </StoreContext>
  </StrictMode>,
);
