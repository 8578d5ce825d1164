import { openPage } from "./explorer.js";

openPage(document.getElementById("explorer"));
