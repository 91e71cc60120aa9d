// The button between the two choosers.
$("button").addEventListener("click", () => trigger("swap"));
