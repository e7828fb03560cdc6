package compat

import (
	"lonja/events"
	"lonja/events/query"
)

func orderID(h Held) events.OrderID { return events.OrderID(h.ID) }

// orders lets the orders of then go on, each that waits for the same in one of two ways, and
// places new ones.
func (o *opened) orders() {
	staff := o.people["sam"]
	ways := map[string][2]func(Held, query.OrderView){
		"payment": {
			func(h Held, v query.OrderView) { o.people[h.By].Pays(v) },
			func(h Held, v query.OrderView) { o.cancel(h, query.PaymentVoided) },
		},
		"shipment": {
			func(h Held, v query.OrderView) { o.move(h, query.Shipped) },
			func(h Held, v query.OrderView) { o.cancel(h, query.PaymentRefunded) },
		},
		"delivery": {
			func(h Held, v query.OrderView) { o.move(h, query.Delivered) },
			func(h Held, v query.OrderView) {
				staff.Wants(409, "PATCH", "/api/orders/"+h.ID, map[string]string{"status": query.Cancelled}, nil)
			},
		},
	}
	status := map[string]string{"payment": query.AwaitingPayment, "shipment": query.Paid, "delivery": query.Shipped}
	for waits, two := range ways {
		held := o.record.Orders[waits]
		if len(held) < 10 {
			o.T.Fatalf("%d orders wait for %s", len(held), waits)
		}
		for i, h := range held {
			var v query.OrderView
			if o.people[h.By].Wants(200, "GET", "/api/orders/"+h.ID, nil, &v); v.Status != status[waits] {
				o.T.Errorf("order %s waits for %s and is %s", h.ID, waits, v.Status)
				continue
			}
			two[i%2](h, v)
		}
	}
	for _, a := range o.record.Accounts {
		p := o.people[a.Name]
		if v := p.Pays(p.Places(events.Quantity{SKU: "85123A", Quantity: 1})); string(v.CustomerID) != a.ID {
			o.T.Errorf("%s placed an order as %s, and is %s", a.Name, v.CustomerID, a.ID)
		}
	}
}

func (o *opened) move(h Held, status string) {
	o.T.Helper()
	o.people["sam"].Wants(200, "PATCH", "/api/orders/"+h.ID, map[string]string{"status": status}, nil)
}

func (o *opened) cancel(h Held, payment string) {
	o.T.Helper()
	p := o.people[h.By]
	p.Wants(200, "PATCH", "/api/orders/"+h.ID, map[string]string{"status": query.Cancelled}, nil)
	p.Sees(orderID(h), func(v query.OrderView) bool { return v.Status == query.Cancelled && v.Payment.Status == payment })
}
