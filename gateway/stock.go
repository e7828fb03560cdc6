package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
)

func readStock(c *call, in *productInput) (*answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	return c.ask(query.Stock{SKU: in.SKU})
}

type stockCount struct {
	OnHand int64 `json:"on_hand" minimum:"0" maximum:"1000000000"`
}

func countStock(c *call, in *struct {
	SKU events.SKU `path:"sku"`
	payload[stockCount]
}) (*answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	counted, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	return c.do(command.CountStock{SKU: in.SKU, OnHand: counted.OnHand})
}

type stockAdjustment struct {
	Delta  int64  `json:"delta" minimum:"-1000000000" maximum:"1000000000" doc:"Pieces more, or fewer when negative"`
	Reason string `json:"reason" minLength:"1" doc:"200 characters at most"`
}

func adjustStock(c *call, in *struct {
	SKU events.SKU `path:"sku"`
	payload[stockAdjustment]
}) (*answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	by, err := in.decode(c)
	if err != nil {
		return nil, err
	}
	return c.do(command.AdjustStock{SKU: in.SKU, Delta: by.Delta, Reason: by.Reason})
}
