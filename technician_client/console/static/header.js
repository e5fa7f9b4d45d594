// The bar that every page carries: who is at the console, and whether the relay is there.

import { get, post, GONE } from "./api.js";
import { byId, element, foreign, setText, show } from "./dom.js";

const SOON_DAYS = 2;

export async function fillHeader() {
  const me = await get("/api/me");
  byId("me").replaceChildren(
    foreign(me.technician, { class: "me-name" }),
    element("span", { class: "me-organisation" }, foreign(me.organisation)),
  );
  byId("sign-out").addEventListener("click", signOut);
  showCertificate(me.certificate_days_left);
  showLink(me.link);
  return me;
}

export function showLink(link) {
  const banner = byId("link-banner");
  show(banner, !link.is_connected);
  if (link.is_connected) return;
  const why = link.problem ? `${link.problem.sentence} ${link.problem.remedy}` : "Connecting to the relay…";
  setText(byId("link-banner-text"), why);
  setText(byId("link-banner-where"), link.relay_url);
}

export function showGone() {
  show(byId("link-banner"), true);
  setText(byId("link-banner-text"), `${GONE.sentence} ${GONE.remedy}`);
  setText(byId("link-banner-where"), "");
}

function showCertificate(daysLeft) {
  const note = byId("certificate-note");
  show(note, daysLeft < SOON_DAYS);
  const hours = Math.max(0, Math.floor(daysLeft * 24));
  setText(
    note,
    daysLeft <= 0
      ? "Your certificate has expired. Ask your administrator for a new one."
      : `Your certificate ends in ${hours} h. Ask your administrator for a new one.`,
  );
}

async function signOut() {
  try {
    await post("/api/sign-out");
  } finally {
    location.replace("/");
  }
}
