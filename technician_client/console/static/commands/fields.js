// One form field per typed parameter. The check here only helps; the device checks again.

import { element, foreign, setText } from "../dom.js";

const HOST = /^(?!-)[A-Za-z0-9._:-]{1,253}$/;
const SERVICE = /^[A-Za-z0-9_][A-Za-z0-9:_.@-]{0,127}$/;
let fieldNo = 0;

export function fieldFor(parameter) {
  const id = `parameter-${(fieldNo += 1)}`;
  const input = inputFor(parameter, id);
  const error = element("p", { class: "field-error", id: `${id}-error`, role: "alert" });
  input.setAttribute("aria-describedby", error.id);
  const check = () => {
    const fault = faultOf(parameter, input.value.trim());
    setText(error, fault);
    input.setAttribute("aria-invalid", String(Boolean(fault)));
    return !fault;
  };
  input.addEventListener("change", check);
  return {
    name: parameter.name,
    get value() {
      return input.value.trim();
    },
    check,
    focus: () => input.focus(),
    view: element("div", {},
      element("label", { for: id }, foreign(parameter.name), " ", element("span", { class: "muted" }, foreign(parameter.description))), input, error),
  };
}

function inputFor(parameter, id) {
  if (parameter.type === "choice") {
    return element("select", { id }, ...parameter.choices.map((choice) =>
      element("option", { value: choice, selected: choice === parameter.default }, choice)));
  }
  const attributes = { id, value: parameter.default ?? "", autocomplete: "off", spellcheck: "false", maxlength: 256 };
  return parameter.type === "integer" ? element("input", { ...attributes, inputmode: "numeric" }) : element("input", attributes);
}

function faultOf(parameter, value) {
  if (value === "") return parameter.default === null ? "A value is needed." : "";
  if (parameter.type === "integer") {
    const isNumber = /^\d{1,18}$/.test(value) && Number(value) >= parameter.minimum && Number(value) <= parameter.maximum;
    return isNumber ? "" : `A whole number from ${parameter.minimum} to ${parameter.maximum}.`;
  }
  if (parameter.type === "hostname") return HOST.test(value) ? "" : "A host name or an IP address.";
  if (parameter.type === "service") return SERVICE.test(value) ? "" : "The name of a service.";
  return "";
}
