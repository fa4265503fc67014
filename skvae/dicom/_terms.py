"""Terms that the standard defines: the only texts of a header that messages repeat."""

from collections.abc import Container


def _terms(text: str) -> frozenset[str]:
    return frozenset(text.split())


# PS3.3, C.7.3.1.1.1
MODALITIES = _terms(
    "AR ASMT AU BDUS BI BMD CR CT CTPROTOCOL DG DOC DX ECG EPS ES FID GM HC HD IO IOL "
    "IVOCT IVUS KER KO LEN LS M3D MG MR NM OAM OCT OP OPM OPT OPTBSV OPTENF OPV OSS OT "
    "PLAN POS PR PT PX REG RESP RF RG RTDOSE RTIMAGE RTINTENT RTPLAN RTRAD RTRECORD "
    "RTSEGANN RTSTRUCT RWV SEG SM SMR SR SRF STAIN TEXTUREMAP TG US VA XA XAPROTOCOL XC"
)
# PS3.3, C.7.6.3.1.2
GREY = frozenset({"MONOCHROME1", "MONOCHROME2"})
COLORS = _terms(
    "ARGB CMYK HSV RGB XYB YBR_FULL YBR_FULL_422 YBR_ICT YBR_PARTIAL_420 "
    "YBR_PARTIAL_422 YBR_RCT"
) | {"PALETTE COLOR"}
# PS3.3, C.8.9.1
UNITS = _terms(
    "1CM BQML CM2 CM2ML CNTS CPS GML MGMINML MLG MLMING MLMINML MLML NONE PCNT "
    "PROPCNTS PROPCPS STDDEV UMOLML UMOLMINML"
)
CORRECTIONS = _terms(
    "2SCAT ATTN BKGDCOR CALB COMPO DCAL DECY DTIM FLIP GAP ISO MODEL MOTN NORM NRGY "
    "PMT PSF RADL RAN REG SCAT UNIF XYSM ZSM"
)
# PS3.3, C.8.8.6.1
OPEN_CONTOURS = _terms("OPEN_PLANAR OPEN_NONPLANAR")


def shown(value: object, known: Container[str]) -> str:
    """Show a value that is known; another may be a patient's name in a wrong place."""
    return str(value) if value is None or value in known else "an unknown value"
