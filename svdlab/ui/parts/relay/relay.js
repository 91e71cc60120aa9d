// Tells the parts of a page what a handler answered. value: anything
watch("value", () => props.value && tell(element.firstElementChild.dataset.topic, props.value));
