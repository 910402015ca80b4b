// Says why the page does not begin where its modules cannot: they did not come, or the browser does not load them.

addEventListener('DOMContentLoaded', () => {
  const say = (words) => {
    document.body.textContent = words;
  };
  const supports = HTMLScriptElement.supports;
  if (!supports || !supports('importmap')) say('This browser is too old for this page: it loads no modules from a file.');
  else if (!document.getElementById('duet-weights')) say('This file is not whole. Get it again.');
});
