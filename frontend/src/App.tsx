// Each place loads its code when it is shown.
import { type ComponentType, type LazyExoticComponent, lazy } from "react";
import { type Place, usePlace } from "./app/places";
import { Brand } from "./ui/Brand";
import { OnDemand } from "./ui/OnDemand";
import { Places } from "./ui/Places";
import "./ui/page.css";

const VIEWS: Readonly<Record<Place, LazyExoticComponent<ComponentType>>> = {
  live: lazy(() => import("./views/live/Live").then((view) => ({ default: view.Live }))),
  learn: lazy(() => import("./views/learn/Learn").then((view) => ({ default: view.Learn }))),
  compare: lazy(() => import("./views/compare/Compare").then((view) => ({ default: view.Compare }))),
  classroom: lazy(() => import("./views/classroom/Classroom").then((view) => ({ default: view.Classroom }))),
  runs: lazy(() => import("./views/runs/Runs").then((view) => ({ default: view.Runs }))),
  traffic: lazy(() => import("./views/traffic/Traffic").then((view) => ({ default: view.Traffic }))),
};

export function App() {
  const place = usePlace();
  const View = VIEWS[place];
  return (
    <OnDemand
      key={place}
      header={
        <header className="page-header">
          <Brand />
          <Places />
        </header>
      }
    >
      <View />
    </OnDemand>
  );
}
