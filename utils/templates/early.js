// The chosen theme, before the page is drawn. A browser that refuses storage shows the system's theme.
try { document.documentElement.dataset.theme = localStorage.getItem("theme") || "system"; } catch { /* no storage */ }
