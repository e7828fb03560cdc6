package main

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strconv"
)

// scaleWorkload is a workload that is measured at every number of orders.
type scaleWorkload struct {
	workload
	connections []int
}

var one, both = []int{1}, []int{1, 64}

var scaleWorkloads = []scaleWorkload{
	{workloads[0], both}, {workloads[1], both}, {workloads[2], both}, {workloads[3], both},
	{list("customer's list by status", func(s *shop) string { return s.customers[0].token }, func() string { return "/api/orders?status=delivered" }), one},
	{list("customer's deep page", func(s *shop) string { return s.customers[0].token }, deep), one},
	{list("staff's list", func(s *shop) string { return s.adminToken }, func() string { return "/api/orders" }), one},
	{list("staff's deep page", func(s *shop) string { return s.adminToken }, deep), one},
	{walk("staff's list walked"), one},
	{list("search, a common word", nobody, func() string { return "/api/products?q=" + []string{"wooden", "lantern", "small"}[rand.IntN(3)] }), one},
	{list("search, a prefix", nobody, func() string { return "/api/products?q=w" }), one},
	{list("search, two words", nobody, func() string { return "/api/products?q=" + url.QueryEscape("vintage copper") }), one},
}

func nobody(*shop) string { return "" }

// deep is the last page that a list is read by number to, or one that is empty.
func deep() string { return "/api/orders?page=500" }

// list is a workload that reads a list as somebody.
func list(name string, token func(*shop) string, path func() string) workload {
	return workload{name: name, check: checkOK, limit: roundTrips, request: func(c *connection, host string, by *customer) []byte {
		return get(c, host, path(), token(by.shop))
	}}
}

// walk is a workload that reads all pages of the staff's list one after another, each by the
// cursor of the one before; where there are no cursors, by its number.
func walk(name string) workload {
	at := map[*connection]string{}
	var last *connection
	return workload{name: name, limit: roundTrips,
		request: func(c *connection, host string, by *customer) []byte {
			last = c
			if at[c] == "" {
				at[c] = "/api/orders?limit=20"
			}
			return get(c, host, at[c], by.shop.adminToken)
		},
		check: func(r reply, by *customer) error {
			var page struct {
				Meta struct {
					Next           string `json:"next"`
					Page, LastPage int
				} `json:"meta"`
			}
			if err := json.Unmarshal(r.body, &page); err != nil || r.status != 200 {
				return fmt.Errorf("answered %d %.300s", r.status, r.body)
			}
			switch {
			case page.Meta.Next != "":
				at[last] = "/api/orders?limit=20&after=" + url.QueryEscape(page.Meta.Next)
			case page.Meta.Page > 0 && page.Meta.Page < 500:
				at[last] = "/api/orders?limit=20&page=" + strconv.Itoa(page.Meta.Page+1)
			default:
				delete(at, last)
			}
			return nil
		}}
}

func get(c *connection, host, path, token string) []byte {
	if token == "" {
		return c.request("GET", path, host, nil)
	}
	return c.request("GET", path, host, nil, field{"Authorization", "Bearer " + token})
}
