// Markup from the console's own pages only: what could run a script is refused before it becomes part of the page
// (Trusted Types). Loaded first and not deferred: a default policy must stand before anybody needs it.
(() => {
  "use strict";
  if (!window.trustedTypes) return;
  const active = /<(script|iframe|frame|object|embed|base|meta|link|style)\b/i;
  window.trustedTypes.createPolicy("default", {
    createHTML(text) {
      if (active.test(text)) throw new TypeError("active content is not taken into the page");
      return text;
    },
  });
})();
