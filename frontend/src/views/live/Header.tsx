import { Brand } from "../../ui/Brand";
import { Places } from "../../ui/Places";
import { ThemeMenu } from "../../ui/ThemeMenu";
import { ConnectionBadge } from "./ConnectionBadge";
import { ExactnessBadge } from "./ExactnessBadge";
import { Models } from "./Models";
import { Shortcuts } from "./Shortcuts";

export function Header() {
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
        <ConnectionBadge />
        <Shortcuts />
        <ThemeMenu />
      </div>
    </header>
  );
}
