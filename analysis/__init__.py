"""How good directions are; never imports discovery."""
