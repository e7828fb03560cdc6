package gateway

import (
	"lonja/events"
	"lonja/events/command"
	"lonja/events/query"
	"lonja/kit/httpapi"
)

func readStock(c *httpapi.Call, in *productInput) (*httpapi.Response, error) {
	if err := checkID(in.SKU); err != nil {
		return nil, err
	}
	return c.QueryAndRespond(query.Stock{SKU: in.SKU})
}

type stockCount struct {
	OnHand int64 `json:"on_hand" minimum:"0" maximum:"1000000000"`
}

func countStock(c *httpapi.Call, in *struct {
	SKU events.SKU `path:"sku"`
	httpapi.Payload[stockCount]
}) (*httpapi.Response, error) {
	if err := checkID(in.SKU); err != nil {
		return nil, err
	}
	count, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.CountStock{SKU: in.SKU, OnHand: count.OnHand})
}

type stockAdjustment struct {
	Delta  int64  `json:"delta" minimum:"-1000000000" maximum:"1000000000" doc:"The pieces to add; negative to remove"`
	Reason string `json:"reason" minLength:"1" doc:"200 characters at most"`
}

func adjustStock(c *httpapi.Call, in *struct {
	SKU events.SKU `path:"sku"`
	httpapi.Payload[stockAdjustment]
}) (*httpapi.Response, error) {
	if err := checkID(in.SKU); err != nil {
		return nil, err
	}
	adjustment, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	return c.SendAndRespond(command.AdjustStock{SKU: in.SKU, Delta: adjustment.Delta, Reason: adjustment.Reason})
}
