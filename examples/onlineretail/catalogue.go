package main

import (
	"context"
	"errors"

	"lonja/client"
)

const currency = "GBP"

// createProduct creates a product, or accepts an existing one.
func (t *importer) createProduct(ctx context.Context, p *product) error {
	var res client.Response
	_, err := t.staff.CreateProduct(ctx, client.NewProduct{SKU: p.sku, Name: p.name, Price: client.Money{Amount: p.price, Currency: currency}},
		client.Key("onlineretail/product/"+p.sku), client.Into(&res))
	if err == nil && !res.Replayed() {
		t.changed.Add(1)
	}
	if !errors.Is(err, client.Conflict) && !errors.Is(err, client.Invalid) {
		return err
	}
	// It may exist with other data. Then the shop's price is used.
	existing, lookup := t.staff.GetProduct(ctx, p.sku)
	if lookup != nil || !existing.Available || existing.Price.Currency != currency {
		return err
	}
	p.price = existing.Price.Amount
	return nil
}

// addStock adds the pieces that the file orders to the stock. The key contains the
// file's hash, so a second run adds nothing and gets the first answer: the level
// from before the file's orders.
func (t *importer) addStock(ctx context.Context, p *product) error {
	var res client.Response
	level, err := t.staff.AdjustStock(ctx, p.sku, client.StockAdjustment{Delta: p.ordered, Reason: "Online Retail " + t.file},
		client.Key("onlineretail/stock/"+t.file+"/"+p.sku), client.Into(&res))
	if err != nil {
		return err
	}
	p.initial = *level
	if !res.Replayed() {
		t.changed.Add(1)
	}
	return nil
}
