// Runs before the modules, in words that any browser knows: what this one lacks.
(function () {
  var needed = ["WebAssembly", "DecompressionStream", "OffscreenCanvas", "createImageBitmap"];
  var lacking = needed.filter(function (name) { return !(name in self); });
  if (!("supports" in HTMLScriptElement && HTMLScriptElement.supports("importmap"))) lacking.push("import maps");
  if (!lacking.length) return;
  self.tooOld = "This browser is too old for this page: it lacks " + lacking.join(", ") + ". Use Chrome, Edge, Firefox or Safari of 2023 or later.";
  document.getElementById("status").textContent = self.tooOld;
})();
