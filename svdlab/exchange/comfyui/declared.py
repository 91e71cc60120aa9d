"""Node types as ComfyUI and its packs declare them. A table; nothing of graphs, and nothing of what a node is for.

The page's format has a node's widget values in order and without names, and older pages listed no widgets among a
node's inputs: for those the names have to be known.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTROL = "control_after_generate"  # the widget behind a seed; not part of the API format
CONTROLS = ("fixed", "randomize", "increment", "decrement", "increment-wrap")


@dataclass(frozen=True)
class Spec:
    """A node type as it is declared: sockets and outputs as (name, type), widgets in their order."""

    sockets: tuple[tuple[str, str], ...] = ()
    widgets: tuple[str, ...] = ()
    outputs: tuple[tuple[str, str], ...] = ()
    size: tuple[int, int] = (315, 58)  # pixels, on ComfyUI's canvas


def _spec(sockets: str = "", widgets: str = "", outputs: str = "", size: tuple[int, int] = (315, 58)) -> Spec:
    def pairs(text: str) -> tuple[tuple[str, str], ...]:
        return tuple((name, kind) for name, _, kind in (part.partition(":") for part in text.split()))

    return Spec(pairs(sockets), tuple(widgets.split()), pairs(outputs), size)


_CONDITIONED = "positive:CONDITIONING negative:CONDITIONING"
_SAMPLED = f"model:MODEL {_CONDITIONED} latent_image:LATENT"
_IMAGE = "IMAGE:IMAGE"
_EFFICIENT = (
    f"MODEL:MODEL CONDITIONING+:CONDITIONING CONDITIONING-:CONDITIONING LATENT:LATENT VAE:VAE {_IMAGE}"
)
_TWEEN = _spec("frames:IMAGE", "ckpt_name clear_cache_after_n_frames multiplier", _IMAGE)
_ADVANCED = f"add_noise noise_seed {CONTROL} steps cfg sampler_name scheduler start_at_step end_at_step"

# Source: ComfyUI's nodes.py, comfy_extras/nodes_video_model.py, nodes_custom_sampler.py, nodes_align_your_steps.py,
# nodes_images.py, nodes_mask.py, nodes_post_processing.py and nodes_video.py.
CORE: dict[str, Spec] = {
    "ImageOnlyCheckpointLoader": _spec(
        "", "ckpt_name", "MODEL:MODEL CLIP_VISION:CLIP_VISION VAE:VAE", (370, 98)
    ),
    "CheckpointLoaderSimple": _spec("", "ckpt_name", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "CheckpointLoader": _spec("", "config_name ckpt_name", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "unCLIPCheckpointLoader": _spec("", "ckpt_name", "MODEL:MODEL CLIP:CLIP VAE:VAE CLIP_VISION:CLIP_VISION"),
    "UNETLoader": _spec("", "unet_name weight_dtype", "MODEL:MODEL"),
    "VAELoader": _spec("", "vae_name", "VAE:VAE"),
    "CLIPVisionLoader": _spec("", "clip_name", "CLIP_VISION:CLIP_VISION"),
    "LoadImage": _spec("", "image upload", f"{_IMAGE} MASK:MASK", (315, 314)),
    "ImageCrop": _spec("image:IMAGE", "width height x y", _IMAGE, (315, 130)),
    "ImageScale": _spec("image:IMAGE", "upscale_method width height crop", _IMAGE, (315, 130)),
    "ImageScaleBy": _spec("image:IMAGE", "upscale_method scale_by", _IMAGE),
    "ImageScaleToTotalPixels": _spec("image:IMAGE", "upscale_method megapixels", _IMAGE),
    "ImageUpscaleWithModel": _spec("upscale_model:UPSCALE_MODEL image:IMAGE", "", _IMAGE),
    "ResizeAndPadImage": _spec(
        "image:IMAGE", "target_width target_height padding_color interpolation", _IMAGE, (315, 130)
    ),
    "ImagePadForOutpaint": _spec("image:IMAGE", "left top right bottom feathering", f"{_IMAGE} MASK:MASK"),
    "EmptyImage": _spec("", "width height batch_size color", _IMAGE, (315, 130)),
    "ImageCompositeMasked": _spec(
        "destination:IMAGE source:IMAGE mask:MASK", "x y resize_source", _IMAGE, (315, 146)
    ),
    "ImageFromBatch": _spec("image:IMAGE", "batch_index length", _IMAGE),
    "SVD_img2vid_Conditioning": _spec(
        "clip_vision:CLIP_VISION init_image:IMAGE vae:VAE",
        "width height video_frames motion_bucket_id fps augmentation_level",
        f"{_CONDITIONED} latent:LATENT",
        (315, 218),
    ),
    "VideoLinearCFGGuidance": _spec("model:MODEL", "min_cfg", "MODEL:MODEL"),
    "VideoTriangleCFGGuidance": _spec("model:MODEL", "min_cfg", "MODEL:MODEL"),
    "KSampler": _spec(
        _SAMPLED,
        f"seed {CONTROL} steps cfg sampler_name scheduler denoise",
        "LATENT:LATENT",
        (315, 262),
    ),
    "KSamplerAdvanced": _spec(
        _SAMPLED, f"{_ADVANCED} return_with_leftover_noise", "LATENT:LATENT", (315, 334)
    ),
    "SamplerCustom": _spec(
        f"model:MODEL {_CONDITIONED} sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
        f"add_noise noise_seed {CONTROL} cfg",
        "output:LATENT denoised_output:LATENT",
        (315, 230),
    ),
    "SamplerCustomAdvanced": _spec(
        "noise:NOISE guider:GUIDER sampler:SAMPLER sigmas:SIGMAS latent_image:LATENT",
        "",
        "output:LATENT denoised_output:LATENT",
    ),
    "RandomNoise": _spec("", f"noise_seed {CONTROL}", "NOISE:NOISE"),
    "CFGGuider": _spec(f"model:MODEL {_CONDITIONED}", "cfg", "GUIDER:GUIDER"),
    "BasicGuider": _spec("model:MODEL conditioning:CONDITIONING", "", "GUIDER:GUIDER"),
    "KSamplerSelect": _spec("", "sampler_name", "SAMPLER:SAMPLER"),
    "AlignYourStepsScheduler": _spec("", "model_type steps denoise", "SIGMAS:SIGMAS", (315, 106)),
    "BasicScheduler": _spec("model:MODEL", "scheduler steps denoise", "SIGMAS:SIGMAS"),
    "KarrasScheduler": _spec("", "steps sigma_max sigma_min rho", "SIGMAS:SIGMAS"),
    "RepeatLatentBatch": _spec("samples:LATENT", "amount", "LATENT:LATENT"),
    "VAEDecode": _spec("samples:LATENT vae:VAE", "", _IMAGE, (210, 46)),
    "VAEDecodeTiled": _spec("samples:LATENT vae:VAE", "tile_size", _IMAGE),
    "VAEEncode": _spec("pixels:IMAGE vae:VAE", "", "LATENT:LATENT"),
    "SaveAnimatedWEBP": _spec("images:IMAGE", "filename_prefix fps lossless quality method", "", (420, 400)),
    "SaveAnimatedPNG": _spec("images:IMAGE", "filename_prefix fps compress_level"),
    "SaveWEBM": _spec("images:IMAGE", "filename_prefix codec fps crf"),
    "CreateVideo": _spec("images:IMAGE audio:AUDIO", "fps", "VIDEO:VIDEO"),
    "PrimitiveNode": _spec("", f"value {CONTROL}"),
    "PrimitiveInt": _spec("", f"value {CONTROL}", "INT:INT"),
    "PrimitiveFloat": _spec("", "value", "FLOAT:FLOAT"),
    "PrimitiveString": _spec("", "value", "STRING:STRING"),
    "PrimitiveBoolean": _spec("", "value", "BOOLEAN:BOOLEAN"),
}
# Source: the packs themselves, by the names they are installed under.
PACKS: dict[str, Spec] = {
    # VideoHelperSuite, AnimateDiff-Evolved, SwarmUI
    "VHS_VideoCombine": _spec(
        "images:IMAGE audio:AUDIO meta_batch:VHS_BatchManager vae:VAE",
        "frame_rate loop_count filename_prefix format pingpong save_output",
    ),
    "VHS_SelectEveryNthImage": _spec("images:IMAGE", "select_every_nth", f"{_IMAGE} count:INT"),
    "ADE_AnimateDiffCombine": _spec(
        "images:IMAGE", "frame_rate loop_count filename_prefix format pingpong save_image"
    ),
    "SwarmSaveAnimationWS": _spec("images:IMAGE", "fps lossless quality method format"),
    "SwarmSaveAnimatedWebpWS": _spec("images:IMAGE", "fps lossless quality method"),
    "SwarmKSampler": _spec(
        _SAMPLED,
        f"noise_seed {CONTROL} steps cfg sampler_name scheduler start_at_step end_at_step var_seed {CONTROL} "
        "var_seed_strength sigma_max sigma_min rho add_noise return_with_leftover_noise previews",
        "LATENT:LATENT",
    ),
    # efficiency-nodes, Inspire
    "KSampler (Efficient)": _spec(
        f"{_SAMPLED} optional_vae:VAE script:SCRIPT",
        f"seed {CONTROL} steps cfg sampler_name scheduler denoise preview_method vae_decode",
        _EFFICIENT,
    ),
    "KSampler Adv. (Efficient)": _spec(
        f"{_SAMPLED} optional_vae:VAE script:SCRIPT",
        f"{_ADVANCED} return_with_leftover_noise preview_method vae_decode",
        _EFFICIENT,
    ),
    "KSampler //Inspire": _spec(
        _SAMPLED,
        f"seed {CONTROL} steps cfg sampler_name scheduler denoise noise_mode batch_seed_mode",
        "LATENT:LATENT",
    ),
    "KSamplerAdvanced //Inspire": _spec(_SAMPLED, f"{_ADVANCED} noise_mode", "LATENT:LATENT"),
    # Easy-Use
    "easy svdLoader": _spec(
        "init_image:IMAGE",
        "ckpt_name vae_name clip_name resolution empty_latent_width empty_latent_height video_frames "
        "motion_bucket_id fps augmentation_level",
        "pipe:PIPE_LINE model:MODEL vae:VAE",
    ),
    "easy preSampling": _spec(
        "pipe:PIPE_LINE image_to_latent:IMAGE latent:LATENT",
        f"steps cfg sampler_name scheduler denoise seed {CONTROL}",
        "pipe:PIPE_LINE",
    ),
    "easy kSampler": _spec(
        "pipe:PIPE_LINE model:MODEL", "image_output link_id save_prefix", "pipe:PIPE_LINE image:IMAGE"
    ),
    "easy seed": _spec("", f"seed {CONTROL}", "seed:INT"),
    "easy int": _spec("", "value", "int:INT"),
    "easy float": _spec("", "value", "float:FLOAT"),
    # KJNodes, essentials, WAS
    "INTConstant": _spec("", "value", "value:INT"),
    "FloatConstant": _spec("", "value", "value:FLOAT"),
    "ImageResizeKJ": _spec(
        "image:IMAGE get_image_size:IMAGE",
        "width height upscale_method keep_proportion divisible_by crop",
        f"{_IMAGE} width:INT height:INT",
    ),
    "ImageResizeKJv2": _spec(
        "image:IMAGE mask:MASK",
        "width height upscale_method keep_proportion pad_color crop_position divisible_by device",
        f"{_IMAGE} width:INT height:INT mask:MASK",
    ),
    "ImageResize+": _spec(
        "image:IMAGE",
        "width height interpolation method condition multiple_of",
        f"{_IMAGE} width:INT height:INT",
    ),
    "Image Resize": _spec(
        "image:IMAGE", "mode supersample resampling rescale_factor resize_width resize_height", _IMAGE
    ),
    # Impact
    "ToBasicPipe": _spec(f"model:MODEL clip:CLIP vae:VAE {_CONDITIONED}", "", "basic_pipe:BASIC_PIPE"),
    "FromBasicPipe": _spec("basic_pipe:BASIC_PIPE", "", f"model:MODEL clip:CLIP vae:VAE {_CONDITIONED}"),
    "FromBasicPipe_v2": _spec(
        "basic_pipe:BASIC_PIPE", "", f"basic_pipe:BASIC_PIPE model:MODEL clip:CLIP vae:VAE {_CONDITIONED}"
    ),
    # rgthree, Comfyroll, Custom-Scripts
    "Seed (rgthree)": _spec("", "seed", "SEED:INT"),
    "KSampler Config (rgthree)": _spec(
        "",
        "steps_total refiner_step cfg sampler_name scheduler",
        "STEPS:INT REFINER_STEP:INT CFG:FLOAT SAMPLER:COMBO SCHEDULER:COMBO",
    ),
    "CR Seed": _spec("", f"seed {CONTROL}", "seed:INT"),
    "CheckpointLoader|pysssss": _spec("", "ckpt_name prompt", "MODEL:MODEL CLIP:CLIP VAE:VAE"),
    "Seed Everywhere": _spec("", f"seed {CONTROL}", "int:INT"),
    # Frame-Interpolation
    "RIFE VFI": _spec(
        "frames:IMAGE optional_interpolation_states:INTERPOLATION_STATES",
        "ckpt_name clear_cache_after_n_frames multiplier fast_mode ensemble scale_factor",
        _IMAGE,
    ),
    "FILM VFI": _TWEEN,
    "IFRNet VFI": _TWEEN,
    "IFUnet VFI": _TWEEN,
    "M2M VFI": _TWEEN,
    "CAIN VFI": _TWEEN,
    "AMT VFI": _TWEEN,
    "Sepconv VFI": _TWEEN,
    "GMFSS Fortuna VFI": _TWEEN,
    "STMFNet VFI": _TWEEN,
    "FLAVR VFI": _TWEEN,
}
SPECS = {**CORE, **PACKS}
