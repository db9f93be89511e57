"""Decoder layers in fewer calls and with less memory than their modules take, values alike."""
