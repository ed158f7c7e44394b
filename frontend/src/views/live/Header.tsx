import { hasServer } from "../../app/state";
import { useApp } from "../../app/useStore";
import { Brand } from "../../ui/Brand";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { ConnectionBadge } from "./ConnectionBadge";
import { ExactnessBadge } from "./ExactnessBadge";
import { Models } from "./Models";
import { Shortcuts } from "./Shortcuts";

export function Header() {
  const server = useApp(hasServer);
  return (
    <header className="page-header">
      <h1>
        <Brand />
      </h1>
      <Places />
      <div className="header-run">
        <Models />
        <ExactnessBadge />
      </div>
      <div className="header-server">
        {server && <ConnectionBadge />}
        <Shortcuts />
        <ThemeMenu />
      </div>
    </header>
  );
}
