"""Numbers as the page writes them."""

from __future__ import annotations

import math

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def format_number(value: float, digits: int = 3) -> str:
    """A number as the page writes it: "0.666", "−13.6", "12,345", "4.10 × 10⁻⁴"."""
    if not math.isfinite(value):
        return "not finite"
    if value == 0:
        return "0"
    sign = "−" if value < 0 else ""
    mantissa, power = f"{abs(value):.{digits - 1}e}".split("e")
    if int(power) >= 5 or int(power) < -3:
        return f"{sign}{mantissa} × 10{str(int(power)).translate(SUPERSCRIPTS)}"
    text = f"{abs(value):,.{max(0, digits - 1 - int(power))}f}"
    return sign + (text if abs(value) >= 9999.5 else text.replace(",", ""))


def format_error(error: float, value: float, digits: int = 3) -> str:
    """An error to the last digit of the value it belongs to: 0.0152 of 0.666 is "0.015"."""
    if not math.isfinite(error):
        return "unknown"
    if not math.isfinite(value) or value == 0:
        return format_number(error, 2)
    power = int(f"{abs(value):.{digits - 1}e}".split("e")[1])
    far = power >= 5 or power < -3
    places = digits - 1 if far else max(0, digits - 1 - power)
    suffix = f" × 10{str(power).translate(SUPERSCRIPTS)}" if far else ""
    rounded = round(abs(error) / 10.0 ** (power if far else 0), places)
    if rounded == 0:
        return f"< {10.0**-places:.{places}f}{suffix}"
    return f"{rounded:,.{places}f}{suffix}"


def plus_minus(value: float, error: float) -> str:
    """An error as it stands behind its value: "± 0.015", "error < 0.001"; empty if it is NaN."""
    if math.isnan(error):
        return ""
    text = format_error(error, value)
    return f"error {text}" if text.startswith("<") else f"± {text}"


def format_level(level: float) -> str:
    """A level without trailing zeros: "0.02", "5", "2 × 10⁻⁴"."""
    digits = len(f"{level:.6e}".split("e")[0].rstrip("0").replace(".", "").lstrip("-"))
    return format_number(level, max(1, digits))


def said_error(error: float, share: float, scale: str) -> str:
    """A largest error in words: of the value on a log scale, where errors are factors, else of the range.

    Args:
        error: In the units of the scale, natural logarithms or the metric's own.
        share: The same as a share of the range.
        scale: "log" or "linear".
    """
    if error == 0:
        return "0"
    if not math.isfinite(error):
        return "unknown"
    if scale != "log":
        return f"{percent(share)} of the range" if share <= 1 else "more than the range"
    if error < 1:
        return f"{percent(math.expm1(error))} of the value"
    return f"a factor of {format_number(math.exp(min(error, 700)), 2)}"


def percent(share: float) -> str:
    """A share in percent: one decimal, more where that would read 0."""
    if not math.isfinite(share):
        return "unknown"
    value = 100 * share
    return f"{value:.1f} %" if value >= 0.1 or value == 0 else f"{value:.1g} %"
