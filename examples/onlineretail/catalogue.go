package main

import (
	"context"
	"net/http"
)

type money struct {
	Amount   int64  `json:"amount"`
	Currency string `json:"currency"`
}

// stock is a SKU's level as the shop shows it.
type stock struct {
	OnHand   int64 `json:"on_hand"`
	Reserved int64 `json:"reserved"`
}

const currency = "GBP"

// create puts a product into the catalogue, or takes it as it is there.
func (t *trade) create(ctx context.Context, p *product) error {
	got, err := t.staff.send(ctx, request{method: http.MethodPost, path: "/api/products",
		key:  "onlineretail/product/" + p.sku,
		body: map[string]any{"sku": p.sku, "name": p.name, "price": money{p.price, currency}}}, nil)
	if err == nil && !got.replayed {
		t.changed.Add(1)
	}
	if !refusedWith(err, http.StatusConflict, http.StatusUnprocessableEntity) {
		return err
	}
	// It may be there already, made otherwise. Then the shop's price holds.
	var there struct {
		Price     money `json:"price"`
		Available bool  `json:"available"`
	}
	_, lookup := t.staff.send(ctx, request{method: http.MethodGet, path: "/api/products/" + p.sku}, &there)
	if lookup != nil || !there.Available || there.Price.Currency != currency {
		return err
	}
	p.price = there.Price.Amount
	return nil
}

// fill adds what the file orders to what is on hand. The key names the file,
// so a second run adds nothing, and is told the level that the first run made:
// the one that the file's orders began with.
func (t *trade) fill(ctx context.Context, p *product) error {
	got, err := t.staff.send(ctx, request{method: http.MethodPost, path: "/api/products/" + p.sku + "/stock/adjustments",
		key:  "onlineretail/stock/" + t.file + "/" + p.sku,
		body: map[string]any{"delta": p.ordered, "reason": "Online Retail " + t.file}}, &p.began)
	if err == nil && !got.replayed {
		t.changed.Add(1)
	}
	return err
}

// level reads what is in stock of a product.
func (t *trade) level(ctx context.Context, p *product) (now stock, err error) {
	_, err = t.staff.send(ctx, request{method: http.MethodGet, path: "/api/products/" + p.sku + "/stock"}, &now)
	return now, err
}
