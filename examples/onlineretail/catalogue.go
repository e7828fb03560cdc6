package main

import (
	"context"
	"errors"

	"lonja/client"
)

const currency = "GBP"

// create puts a product into the catalogue, or takes it as it is there.
func (t *trade) create(ctx context.Context, p *product) error {
	var res client.Response
	_, err := t.staff.CreateProduct(ctx, client.NewProduct{SKU: p.sku, Name: p.name, Price: client.Money{Amount: p.price, Currency: currency}},
		client.Key("onlineretail/product/"+p.sku), client.Into(&res))
	if err == nil && !res.Replayed() {
		t.changed.Add(1)
	}
	if !errors.Is(err, client.Conflict) && !errors.Is(err, client.Invalid) {
		return err
	}
	// It may be there already, made otherwise. Then the shop's price holds.
	there, lookup := t.staff.GetProduct(ctx, p.sku)
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
	var res client.Response
	level, err := t.staff.AdjustStock(ctx, p.sku, client.StockAdjustment{Delta: p.ordered, Reason: "Online Retail " + t.file},
		client.Key("onlineretail/stock/"+t.file+"/"+p.sku), client.Into(&res))
	if err != nil {
		return err
	}
	p.began = *level
	if !res.Replayed() {
		t.changed.Add(1)
	}
	return nil
}
