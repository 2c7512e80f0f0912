"""References of the methods paragraph of a report, numbered in the order of their use."""

from __future__ import annotations

#: By key, as a journal prints them.
_REFERENCES = {
    "ctdenoise": "The ctdenoise developers. ctdenoise: denoise CT series, DICOM in, derived DICOM out. Software, "
    "version {version}.",
    "clip": "Cheng J, Liang D, Tan S. Transfer CLIP for generalizable image denoising. CVPR 2024. arXiv:2403.15132.",
    "tg233": "Samei E, Bakalyar D, Boedeker KL, et al. Performance evaluation of computed tomography systems: "
    "summary of AAPM Task Group 233. Med Phys 2019;46(11):e735–e756.",
    "icru87": "ICRU Report 87: Radiation dose and image-quality assessment in computed tomography. J ICRU 2012;12(1).",
    "richard": "Richard S, Husarik DB, Yadava G, Murphy SN, Samei E. Towards task-based assessment of CT performance: "
    "system and object MTF across different reconstruction algorithms. Med Phys 2012;39(7):4115–4122.",
    "sanders": "Sanders J, Hurwitz L, Samei E. Patient-specific quantification of image quality: an automated "
    "method for measuring spatial resolution in clinical CT images. Med Phys 2016;43(10):5330–5338.",
    "buades": "Buades A, Coll B, Morel JM. A non-local algorithm for image denoising. CVPR 2005:60–65.",
    "ssim": "Wang Z, Bovik AC, Sheikh HR, Simoncelli EP. Image quality assessment: from error visibility to structural "
    "similarity. IEEE Trans Image Process 2004;13(4):600–612.",
    "vif": "Sheikh HR, Bovik AC. Image information and visual quality. IEEE Trans Image Process 2006;15(2):430–444.",
    "gmsd": "Xue W, Zhang L, Mou X, Bovik AC. Gradient magnitude similarity deviation: a highly efficient perceptual "
    "image quality index. IEEE Trans Image Process 2014;23(2):684–695.",
    "lpips": "Zhang R, Isola P, Efros AA, Shechtman E, Wang O. The unreasonable effectiveness of deep features as a "
    "perceptual metric. CVPR 2018:586–595.",
    "redcnn": "Chen H, Zhang Y, Kalra MK, et al. Low-dose CT with a residual encoder-decoder convolutional neural "
    "network. IEEE Trans Med Imaging 2017;36(12):2524–2535.",
    "ldct-benchmark": "Eulig E, Ommer B, Kachelrieß M. Benchmarking deep learning-based low-dose CT image denoising "
    "algorithms. Med Phys 2024. arXiv:2401.04661.",
    "bootstrap": "Efron B, Tibshirani RJ. An introduction to the bootstrap. Chapman & Hall 1993.",
    "wilcoxon": "Wilcoxon F. Individual comparisons by ranking methods. Biometrics Bulletin 1945;1(6):80–83.",
}


class Citations:
    """Numbers references in the order of their first use."""

    def __init__(self) -> None:
        self._used: list[str] = []

    def __call__(self, *keys: str) -> str:
        """Return the numbers of references in square brackets."""
        self._used += [key for key in keys if key not in self._used]
        return "[" + ", ".join(str(self._used.index(key) + 1) for key in keys) + "]"

    def texts(self, version: str) -> list[str]:
        """Return the references that were cited, in their order; `version` is that of ctdenoise."""
        return [_REFERENCES[key].format(version=version) for key in self._used]
