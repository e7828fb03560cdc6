package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
)

// workload is a kind of request to the shop, and what limits it.
type workload struct {
	name  string
	fills bool // it leaves work that must be finished before the next measurement
	// request writes the next request of a customer.
	request func(c *connection, host string, by *customer) []byte
	check   func(r reply, by *customer) error
	// limit is the minimum work of the layers below for such a request.
	limit func(l *limits, size int) (string, func(workers int) (operation, func(), error))
}

var workloads = []workload{
	{
		name: "POST order", fills: true, check: checkOrder, limit: appends(1),
		request: func(c *connection, host string, by *customer) []byte { return order(c, host, by) },
	},
	{
		name: "order to awaiting_payment", fills: true, check: checkAwaiting, limit: appends(4), // the answer has the payment link
		request: func(c *connection, host string, by *customer) []byte {
			return order(c, host, by, field{"Prefer", "wait=30"})
		},
	},
	{
		name: "GET order", check: checkOK, limit: roundTrips,
		request: func(c *connection, host string, by *customer) []byte {
			return c.request("GET", "/api/orders/"+by.someOrder(), host, nil, field{"Authorization", "Bearer " + by.token})
		},
	},
	{
		name: "GET product", check: checkOK, limit: roundTrips,
		request: func(c *connection, host string, by *customer) []byte {
			return c.request("GET", "/api/products/"+by.goods.any(), host, nil)
		},
	},
	{
		name: "GET products, 20 of 1000", check: checkOK, limit: roundTrips,
		request: func(c *connection, host string, by *customer) []byte {
			return c.request("GET", "/api/products?page="+strconv.Itoa(1+rand.IntN(products/20)), host, nil)
		},
	},
}

func workloadNamed(name string) workload {
	return workloads[slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })]
}

var serial atomic.Int64

func order(c *connection, host string, by *customer, more ...field) []byte {
	key := "bench-" + strconv.FormatInt(serial.Add(1), 10)
	return c.request("POST", "/api/orders", host, someItems(make([]byte, 0, 256), by.goods),
		append(more, field{"Authorization", "Bearer " + by.token}, field{"Idempotency-Key", key})...)
}

func checkOK(r reply, _ *customer) error {
	if r.status != 200 || len(r.body) == 0 {
		return fmt.Errorf("answered %d %.300s", r.status, r.body)
	}
	return nil
}

func checkOrder(r reply, by *customer) error {
	const where = "/api/orders/"
	if r.status != 201 || len(r.location) <= len(where) {
		return fmt.Errorf("answered %d %q %.300s", r.status, r.location, r.body)
	}
	by.ordered(r.location[strings.LastIndexByte(r.location, '/')+1:])
	return nil
}

func isAwaiting(r reply) bool { return bytes.Contains(r.body, []byte(`"status":"awaiting_payment"`)) }

func checkAwaiting(r reply, by *customer) error {
	if !isAwaiting(r) {
		return fmt.Errorf("answered %d %.300s", r.status, r.body)
	}
	return checkOrder(r, by)
}

// drive opens one connection to the shop for each worker, and returns the workload
// as an operation. Size is the length of the last body.
func (w workload) drive(s *shop, workers int) (op operation, size *atomic.Int64, closeAll func(), err error) {
	all := make([]*connection, workers)
	closeAll = func() {
		for _, c := range all {
			if c != nil {
				c.close()
			}
		}
	}
	for i := range all {
		if all[i], err = connect(s.http); err != nil {
			closeAll()
			return nil, nil, nil, err
		}
	}
	size = new(atomic.Int64)
	return func(_ context.Context, worker int) error {
		by := s.customers[worker%len(s.customers)]
		got, err := all[worker].roundTrip(w.request(all[worker], s.http, by))
		if err != nil {
			return err
		}
		size.Store(int64(len(got.body)))
		return w.check(got, by)
	}, size, closeAll, nil
}
