/* A wide table scrolls in a wrapper that the theme adds late; the keyboard must reach it too. */
function reach() {
  for (const wrapper of document.querySelectorAll(".md-typeset__scrollwrap:not([tabindex])")) wrapper.tabIndex = 0;
}
new MutationObserver(reach).observe(document.body, { childList: true, subtree: true });
reach();
