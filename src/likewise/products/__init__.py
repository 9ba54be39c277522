"""What a user does with a trained model beside searching and measuring; one file a product."""

from __future__ import annotations

from likewise.products.base import (
    EVERY_MODEL,
    EVERY_TEXT_MODEL,
    Product,
    ProductResult,
    get_product,
    load_product,
    products_of,
    use,
    with_those_of_every_model,
)

__all__ = [
    "EVERY_MODEL",
    "EVERY_TEXT_MODEL",
    "Product",
    "ProductResult",
    "get_product",
    "load_product",
    "products_of",
    "use",
    "with_those_of_every_model",
]
