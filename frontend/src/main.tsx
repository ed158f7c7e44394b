import "./fonts.css";
import "./theme.css";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { App } from "./App";
import { browserEnvironment, recordedEnvironment } from "./app/environment";
import { ROOT } from "./app/places";
import { RaceStore } from "./app/race";
import { firstRecording } from "./app/siteRuns";
import { Store } from "./app/store";
import { applyTheme, savedTheme, watchSystemTheme } from "./app/theme";
import { TrafficStore } from "./app/traffic";
import { RaceContext, SweepContext } from "./app/useRace";
import { StoreContext } from "./app/useStore";
import { TrafficContext } from "./app/useTraffic";
import { TraceDrop } from "./ui/TraceDrop";
import { prefersReducedMotion } from "./ui/useSize";

applyTheme(savedTheme());
watchSystemTheme();

const root = document.getElementById("root");
if (!root) throw new Error("The page has no #root element.");

const environment =
  ROOT.kind === "files" ? recordedEnvironment("site", firstRecording) : browserEnvironment();
const store = new Store(environment);
const race = new RaceStore(environment, () => !prefersReducedMotion());
const traffic = new TrafficStore(environment);
const sweep = new RaceStore(environment, () => false, "sweep-");

createRoot(root).render(
  <StrictMode>
    <StoreContext value={store}>
      <RaceContext value={race}>
        <SweepContext value={sweep}>
          <TrafficContext value={traffic}>
            <App />
          </TrafficContext>
        </SweepContext>
      </RaceContext>
      <TraceDrop />
    </StoreContext>
  </StrictMode>,
);
