// What is drawn and asked for again and again, while the page is seen.

/** Calls `draw` soon, and at most once in so many milliseconds; not while the page is hidden. */
export function throttled(draw, every = 250) {
  let timer = null;
  let wanted = false;
  function run() {
    timer = null;
    if (document.hidden) return;
    wanted = false;
    draw();
  }
  function ask() {
    wanted = true;
    timer ??= setTimeout(run, every);
  }
  const seen = () => {
    if (!document.hidden && wanted) ask();
  };
  document.addEventListener("visibilitychange", seen);
  ask.stop = () => {
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
    timer = -1; // nothing is drawn any more
  };
  return ask;
}

/** Calls `look` at once and then every `seconds()`; while the page is hidden not at all. Returns what stops it. */
export function polling(look, seconds) {
  let timer = null;
  let stopped = false;
  async function once() {
    clearTimeout(timer);
    await look();
    if (!stopped && !document.hidden) timer = setTimeout(once, 1000 * seconds());
  }
  const seen = () => {
    if (!document.hidden) once();
  };
  document.addEventListener("visibilitychange", seen);
  timer = setTimeout(once, 1000 * seconds());
  return () => {
    stopped = true;
    clearTimeout(timer);
    document.removeEventListener("visibilitychange", seen);
  };
}
