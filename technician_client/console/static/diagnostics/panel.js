// The diagnostics tab: one snapshot as cards. What could not be read is said plainly.

import { byId, element, foreign, show } from "../dom.js";
import { bytes, duration, moment, percent } from "../format.js";
import { Gate } from "../gate.js";
import { DIAGNOSTICS } from "../permissions.js";

export class DiagnosticsPanel {
  #link = null;

  constructor(workspace) {
    this.workspace = workspace;
    new Gate(byId("diagnostics-gate"), workspace, {
      grantable: DIAGNOSTICS,
      title: "Read diagnostics",
      text: "System, memory, disks, network, busiest programs and log-ins. Never files, and never the arguments of programs.",
    });
    workspace.addEventListener("link", (event) => this.#attach(event.detail));
    workspace.addEventListener("change", () => show(byId("diagnostics"), workspace.permissions.isAllowed(DIAGNOSTICS)));
  }

  #attach(link) {
    this.#link = link;
    byId("diagnostics").replaceChildren(element("p", { class: "muted", role: "status" }, "Reading…"));
    link.on("snapshot", ({ snapshot }) => this.#draw(snapshot));
  }

  #draw(snapshot) {
    const cards = [
      snapshot.system && systemCard(snapshot.system),
      snapshot.cpu && cpuCard(snapshot.cpu),
      snapshot.memory && memoryCard(snapshot.memory),
      snapshot.disks.length && disksCard(snapshot.disks),
      snapshot.displays.length && displaysCard(snapshot.displays),
      snapshot.interfaces.length && networkCard(snapshot.interfaces),
      snapshot.processes.length && processesCard(snapshot.processes),
      snapshot.logins.length && logInsCard(snapshot.logins),
    ].filter(Boolean);
    const again = element("button", { type: "button", class: "compact", onclick: () => this.#link.send("read_diagnostics") }, "Read again");
    byId("diagnostics").replaceChildren(
      element("div", { class: "row" },
        element("h2", {}, "Diagnostics"),
        element("span", { class: "muted small", role: "status" }, snapshot.system ? `read ${moment(snapshot.system.at_utc)}` : "", ` in ${snapshot.took_s.toFixed(1)} s`),
        element("span", { class: "grow" }), again),
      ...failures(snapshot.failures),
      element("div", { class: "cards" }, ...cards),
    );
  }
}

function failures(failed) {
  if (!failed.length) return [];
  return [element("div", { class: "notice" },
    element("strong", {}, "Some of it could not be read"),
    ...failed.map(({ source, reason }) => element("p", { class: "small" }, foreign(source), ": ", foreign(reason))))];
}

function card(title, ...content) {
  return element("section", { class: "card" }, element("h3", {}, title), ...content);
}

function wide(made) {
  made.classList.add("wide");
  return made;
}

function facts(...pairs) {
  return element("dl", { class: "facts" }, ...pairs.flatMap(([name, text]) =>
    [element("dt", {}, name), element("dd", {}, foreign(text))]));
}

function gauge(name, words, value) {
  return element("div", { class: "gauge" },
    element("div", { class: "gauge-words" }, foreign(name), element("span", {}, words)),
    element("meter", { min: 0, max: 100, low: 75, high: 90, optimum: 10, value, "aria-label": `${name}: ${words}` }));
}

function table(heads, rows) {
  const cell = (tag, content, isNumber) => element(tag, isNumber ? { class: "number" } : {}, content);
  return element("div", { class: "table-frame" }, element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map(([name, isNumber]) =>
      element("th", { scope: "col", class: isNumber ? "number" : null }, name)))),
    element("tbody", {}, ...rows.map((row) => element("tr", {}, ...row.map((content, index) =>
      cell("td", typeof content === "string" ? foreign(content) : content, heads[index][1])))))));
}

function systemCard(system) {
  return card("System", facts(
    ["Name", system.hostname],
    ["System", `${system.os_name} ${system.os_version}`],
    ["Kernel", `${system.kernel} (${system.architecture})`],
    ["Started", moment(system.booted_at_utc)],
    ["Running for", duration(system.uptime_s)],
    ["Clock there", moment(system.at_utc)]));
}

function cpuCard(cpu) {
  const load = [cpu.load_1m, cpu.load_5m, cpu.load_15m].map((value) => value.toFixed(2)).join(" · ");
  return card("Processor",
    element("p", { class: "big" }, `${Math.round(cpu.busy_percent)} %`),
    gauge("Busy", `${cpu.logical_cores} threads on ${cpu.physical_cores} cores`, cpu.busy_percent),
    facts(["Model", cpu.model], ["Load", `${load} (1, 5, 15 min)`]));
}

function memoryCard(memory) {
  const used = memory.total_bytes - memory.available_bytes;
  const swap = memory.swap_total_bytes
    ? [gauge("Swap", `${bytes(memory.swap_used_bytes)} of ${bytes(memory.swap_total_bytes)}`, percent(memory.swap_used_bytes, memory.swap_total_bytes))]
    : [element("p", { class: "muted small" }, "No swap.")];
  return card("Memory",
    element("p", { class: "big" }, `${percent(used, memory.total_bytes)} %`),
    gauge("In use", `${bytes(used)} of ${bytes(memory.total_bytes)}`, percent(used, memory.total_bytes)),
    ...swap);
}

function disksCard(disks) {
  return card("Disks", ...disks.map((disk) => {
    const used = disk.total_bytes - disk.free_bytes;
    return gauge(disk.mount_point, `${bytes(disk.free_bytes)} free of ${bytes(disk.total_bytes)} · ${disk.file_system}`, percent(used, disk.total_bytes));
  }));
}

function networkCard(interfaces) {
  return wide(card("Network", table(
    [["Interface"], ["Addresses"], ["Received", true], ["Sent", true]],
    interfaces.map((one) => [
      element("span", { class: "state" }, element("span", { class: `dot ${one.is_up ? "here" : "away"}` }), foreign(one.name), element("span", { class: "muted" }, one.is_up ? "up" : "down")),
      one.addresses.join(", ") || "–",
      bytes(one.received_bytes),
      bytes(one.sent_bytes),
    ]))));
}

function displaysCard(displays) {
  return card("Displays", table([["Display"], ["Size", true], ["Position", true]],
    displays.map((one) => [one.name, `${one.width} × ${one.height}`, `${one.x}, ${one.y}`])));
}

function processesCard(processes) {
  return wide(card("Busiest programs", table(
    [["Program"], ["User"], ["Process", true], ["CPU", true], ["Memory", true]],
    processes.map((one) => [one.name, one.user, String(one.pid), `${one.cpu_percent.toFixed(1)} %`, bytes(one.resident_bytes)]))));
}

function logInsCard(logins) {
  return wide(card("Logged in", table([["User"], ["Terminal"], ["From"], ["Since"]],
    logins.map((one) => [one.user, one.terminal || "–", one.host || "–", moment(one.started_at_utc)]))));
}
