import type { NextConfig } from "next";

const config: NextConfig = {
  // This folder alone, and not the repository around it.
  turbopack: { root: import.meta.dirname },
};

export default config;
