"""What is said in the conversations that pictures show."""

from __future__ import annotations

__all__ = ["BEGUN", "SAID"]

QUESTION = "Why is the sky blue?\nAnd write me a function."
ANSWER = """# Short answer

The sky is **blue** because of *Rayleigh scattering*: short waves scatter more ([source](https://example.org)).

1. Sunlight has `all` colours.
2. Air scatters blue.
   - more than red

```python
def is_blue(hour: int) -> bool:
    return 6 < hour < 18
```

| hour | colour |
|------|--------|
| 12   | blue   |

> So it is.
"""
SAID = (QUESTION, ANSWER, "Thanks!", "You are *welcome*.")
BEGUN = """Light that is *shorter* in wavelength is scattered more by air, by the fourth power:

```python
def scattering(wavelength_nm: float) -> float:
    return (550 / wavelength_nm) ** 4
```

So blue light comes to us from **everywhere**, and
"""
