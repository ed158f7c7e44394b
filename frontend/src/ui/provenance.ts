// Where the figures of a part of the page come from: a line below every saved picture.
import { createContext, useContext } from "react";

export const Provenance = createContext("SpeculatoViz");

export const useProvenance = (): string => useContext(Provenance);
