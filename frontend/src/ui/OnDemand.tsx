import { Component, type ReactNode, Suspense } from "react";

interface Props {
  /** What stands above the message if the part cannot be shown. */
  readonly header?: ReactNode;
  readonly children: ReactNode;
}

interface State {
  readonly failed: boolean;
}

/** A part of the page whose code loads when it is shown. The rest of the page stays if the code does not come. */
export class OnDemand extends Component<Props, State> {
  override state: State = { failed: false };

  static getDerivedStateFromError(): State {
    return { failed: true };
  }

  override render(): ReactNode {
    const { header, children } = this.props;
    if (!this.state.failed) return <Suspense fallback={null}>{children}</Suspense>;
    return (
      <>
        {header}
        <p role="alert" className="not-loaded">
          This part of the page could not be loaded. Reload the page when the server can be reached again;
          that removes the run from it.
        </p>
      </>
    );
  }
}
