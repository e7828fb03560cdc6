package main

import (
	"log/slog"
	"net/http"

	"tickets/shows"

	"lonja/kit/bus"
	"lonja/kit/httpapi"
)

type seatPath struct {
	ShowID string `path:"show"`
	Seat   int    `path:"seat" minimum:"1"`
	httpapi.Payload[buyer]
}

type buyer struct {
	Buyer string `json:"buyer" minLength:"1"`
}

// api is the HTTP API, which clients reach at origin.
func api(client *bus.Client, origin string) (http.Handler, error) {
	a, err := httpapi.New(httpapi.Config{Client: client, Name: "tickets", Title: "Tickets", Version: "1.0.0", PublicURL: origin, Logger: slog.Default()})
	if err != nil {
		return nil, err
	}
	a.Add("shows", httpapi.JSON("POST /api/shows/{show}/seats/{seat}", "Buy a seat", buySeat,
		httpapi.Idempotent, httpapi.Fails(http.StatusNotFound, http.StatusConflict)))
	return a.Handler()
}

func buySeat(c *httpapi.Call, in *seatPath) (*httpapi.Response, error) {
	body, err := in.Body(c)
	if err != nil {
		return nil, err
	}
	resp, err := c.SendAndRespond(shows.Buy{ShowID: in.ShowID, Seat: in.Seat, Buyer: body.Buyer})
	if err != nil {
		return nil, err
	}
	return resp.NoContent(), nil
}
