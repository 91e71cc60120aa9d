// The line under Generate: memory, which is counted meanwhile.
const show = () => say($(".forecast"), props.value?.line);
watch("value", show);
show();
