"""A real browser for tests of pages: headless Chromium, spoken to through a pipe (DevTools protocol)."""
