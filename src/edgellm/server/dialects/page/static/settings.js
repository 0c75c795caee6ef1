// Settings of this browser, and the dialog that changes them. Where storage is refused they hold for this page.

const NAME = "edgellm";
const NUMBERS = ["temperature", "top_p", "top_k", "max_tokens"];

export function loadSettings() {
  try {
    return JSON.parse(localStorage.getItem(NAME)) ?? {};
  } catch {
    return {};
  }
}

export function saveSettings(settings) {
  try {
    localStorage.setItem(NAME, JSON.stringify(settings));
  } catch {
    // a browser may keep nothing
  }
  applyTheme(settings.theme);
}

export function applyTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
}

// Calls changed(settings) when the dialog is closed with Save or Reset.
export function openSettings(dialog, settings, changed) {
  const form = dialog.querySelector("form");
  for (const field of form.elements) {
    if (!field.name) continue;
    if (field.type === "checkbox") field.checked = Boolean(settings[field.name]);
    else field.value = settings[field.name] ?? "";
  }
  dialog.returnValue = "";
  dialog.onclose = () => {
    if (dialog.returnValue === "save") changed({ model: settings.model, ...read(form) });
    if (dialog.returnValue === "reset") changed({ model: settings.model });
  };
  dialog.showModal();
}

function read(form) {
  const found = {};
  for (const field of form.elements) {
    if (!field.name) continue;
    const value = field.type === "checkbox" ? field.checked : field.value.trim();
    if (value === "" || value === false) continue;
    found[field.name] = NUMBERS.includes(field.name) ? Number(value) : value;
  }
  return found;
}
