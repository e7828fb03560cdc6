package main

import (
	"context"
	"errors"
	"fmt"
)

// What is sold. The ones of "later" change once the shop is opened again, and no read that
// is recorded is about them.
const (
	free     = "GIFT-1"
	crossing = "CROSS-1"
	short    = "SHORT-1"
	timed    = "LATER-1"
	later    = "LATER-2"
	archived = "OLD-1"
	plenty   = 1_000_000
)

// goods are what the customers order.
var goods = []string{"85123A", "71053", "84406B", "22752", "21730"}

func (t *tale) sell(ctx context.Context) error {
	category := map[string]string{timed: "later", later: "later"}
	for i, sku := range append([]string{free, crossing, short, timed, later, archived}, goods...) {
		price := int64(255 + 10*i)
		if sku == free {
			price = 0
		}
		kind := category[sku]
		if kind == "" {
			kind = "Gifts & décor"
		}
		if err := t.create(ctx, sku, price, kind); err != nil {
			return err
		}
	}
	restored := "/api/products/" + goods[1]
	return errors.Join(
		t.sam.do(ctx, "PATCH", "/api/products/"+goods[0], map[string]any{"name": "White hanging heart ♥", "description": "Für die Wand"}, nil, 200),
		t.sam.do(ctx, "PATCH", "/api/products/"+goods[2], map[string]any{"price": money(799)}, nil, 200),
		t.sam.do(ctx, "DELETE", restored, nil, nil, 204),
		t.sam.do(ctx, "PATCH", restored, map[string]any{"available": true}, nil, 200),
		t.sam.do(ctx, "DELETE", "/api/products/"+archived, nil, nil, 204),
		t.sam.keyed(ctx, "POST", "/api/products/"+goods[3]+"/stock/adjustments", map[string]any{"delta": -7, "reason": "moths"}, nil, 200),
	)
}

func (t *tale) create(ctx context.Context, sku string, price int64, category string) error {
	if err := t.sam.keyed(ctx, "POST", "/api/products", map[string]any{
		"sku": sku, "name": fmt.Sprintf("Nº %s, naïve café", sku), "category": category, "price": money(price),
	}, nil, 201); err != nil {
		return err
	}
	// Inventory asks its own view whether the product exists, which may be a moment late.
	return eventually(ctx, func() error {
		return t.sam.do(ctx, "PUT", "/api/products/"+sku+"/stock", map[string]any{"on_hand": plenty}, nil, 200)
	})
}

func money(pence int64) map[string]any { return map[string]any{"amount": pence, "currency": "GBP"} }
