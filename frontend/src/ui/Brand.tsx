import icon from "./favicon.svg";

export function Brand() {
  return (
    <span className="brand">
      <img src={icon} alt="" width={24} height={24} />
      <span>
        Speculato<span className="text-accent">Viz</span>
      </span>
    </span>
  );
}
