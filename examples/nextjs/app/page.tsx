import { targets } from "@pgdumpd/client";
import { connection } from "next/server";
import { pool } from "@/lib/pool";
import { Backups } from "./backups";

/** `/`, or `/?locale=pt-BR`. */
export default async function Page({ searchParams }: { searchParams: Promise<{ locale?: string }> }) {
  await connection();
  const { locale } = await searchParams;
  const known = (await targets(pool)).map(({ target }) => target);
  return <Backups targets={known} locale={locale === "pt-BR" ? "pt-BR" : "en"} />;
}
