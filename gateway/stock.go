package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

func readStock(c *httpapi.Call, in *productInput) (*httpapi.Answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	return c.Ask(query.Stock{SKU: in.SKU})
}

type stockCount struct {
	OnHand int64 `json:"on_hand" minimum:"0" maximum:"1000000000"`
}

func countStock(c *httpapi.Call, in *struct {
	SKU events.SKU `path:"sku"`
	httpapi.Payload[stockCount]
}) (*httpapi.Answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	counted, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.Do(command.CountStock{SKU: in.SKU, OnHand: counted.OnHand})
}

type stockAdjustment struct {
	Delta  int64  `json:"delta" minimum:"-1000000000" maximum:"1000000000" doc:"Pieces more, or fewer when negative"`
	Reason string `json:"reason" minLength:"1" doc:"200 characters at most"`
}

func adjustStock(c *httpapi.Call, in *struct {
	SKU events.SKU `path:"sku"`
	httpapi.Payload[stockAdjustment]
}) (*httpapi.Answer, error) {
	if err := known(in.SKU); err != nil {
		return nil, err
	}
	by, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.Do(command.AdjustStock{SKU: in.SKU, Delta: by.Delta, Reason: by.Reason})
}
