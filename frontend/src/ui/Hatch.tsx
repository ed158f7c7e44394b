/** A hatched fill: what is computed. The colour comes from the class. */
export const Hatch = ({ id, className }: { id: string; className: string }) => (
  <pattern id={id} width="4" height="4" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">
    <rect width="1.6" height="4" className={className} />
  </pattern>
);
