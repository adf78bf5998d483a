"""Any file to honest 8-bit gray pixels, in workers that may die."""

from hilum.imaging.header import DicomHeader, read_dicom_header
from hilum.imaging.limits import Limits
from hilum.imaging.pool import DecodePool
from hilum.imaging.radiograph import Radiograph, read_image
from hilum.imaging.resize import resize_longer_side

__all__ = ["DecodePool", "DicomHeader", "Limits", "Radiograph", "read_dicom_header", "read_image", "resize_longer_side"]
