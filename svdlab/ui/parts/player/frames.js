// An MP4 → its frames as bitmaps. Knows video elements; nothing of what is done with the frames.
//
// Put in front of whoever plays them, in one function body with it.
const SEEN = 60; // ms to wait for a frame to be presented where the browser does not say it was

const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const once = (target, good, bad, signal) =>
  new Promise((done, fail) => {
    const inner = new AbortController();
    const end = (settle, value) => (inner.abort(), settle(value));
    target.addEventListener(good, () => end(done), { signal: inner.signal });
    if (bad) target.addEventListener(bad, () => end(fail, new Error("unplayable")), { signal: inner.signal });
    signal.addEventListener("abort", () => end(fail, new Error("stale")), { signal: inner.signal });
  });

// {video, url, count, width, height, frames: []} of a side {url, frames}; throws "missing" or "unplayable".
async function openClip(side, fps, signal) {
  const answer = await fetch(side.url, { signal, credentials: "same-origin" });
  if (!answer.ok) throw new Error("missing");
  // A blob of its own: seeking works whatever a proxy makes of range requests, and nothing taints the canvas.
  const url = URL.createObjectURL(new Blob([await answer.blob()], { type: "video/mp4" }));
  const video = document.createElement("video");
  Object.assign(video, { muted: true, playsInline: true, preload: "auto", src: url });
  try {
    if (video.readyState < 2) await once(video, "loadeddata", "error", signal);
  } catch (error) {
    URL.revokeObjectURL(url);
    throw error;
  }
  const total = Number(side.frames) || Math.round(video.duration * fps) || 1;
  return { video, url, count: total, width: video.videoWidth, height: video.videoHeight, frames: [] };
}

async function seekTo(video, time, signal) {
  const seeked = once(video, "seeked", "error", signal);
  const presented = video.requestVideoFrameCallback ? new Promise((done) => video.requestVideoFrameCallback(done)) : null;
  video.currentTime = time;
  await seeked;
  if (presented) await Promise.race([presented, wait(SEEN)]);
}

// Appends the first `wanted` frames to clip.frames, each reduced by `scale`.
async function readFrames(clip, wanted, scale, signal, onFrame) {
  const scratch = document.createElement("canvas");
  scratch.width = Math.max(1, Math.round(clip.width * scale));
  scratch.height = Math.max(1, Math.round(clip.height * scale));
  const pen = scratch.getContext("2d", { alpha: false, willReadFrequently: true });
  for (let i = 0; i < wanted; i++) {
    // The middle of a frame: at its edge, rounding decides which of two is shown.
    await seekTo(clip.video, ((i + 0.5) * clip.video.duration) / clip.count, signal);
    pen.drawImage(clip.video, 0, 0, scratch.width, scratch.height);
    clip.frames.push(await createImageBitmap(scratch));
    if (signal.aborted) throw new Error("stale");
    onFrame();
  }
}
