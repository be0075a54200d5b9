// The web UI of codeact-serve.

import { takeKeyFromAddress } from "./api";
import { App } from "./app";
import { installKeyDialog } from "./key";
import { installShortcuts } from "./shortcuts";
import { applyTheme } from "./theme";

takeKeyFromAddress();
applyTheme();
installKeyDialog();

const app = new App();
app.mount();
installShortcuts(app);
window.addEventListener("hashchange", () => {
    takeKeyFromAddress();
    app.fromAddress();
});
window.addEventListener("popstate", () => app.fromAddress());
void app.load();
