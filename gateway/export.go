package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"lonja/events"
	"lonja/events/query"
	"lonja/kit/bus"
	"lonja/kit/httpapi"
	"lonja/kit/httpapi/problem"
)

// userExport is all that the shop keeps on a person. Each member is what one service keeps, so
// another service adds a member and changes none.
type userExport struct {
	ExportedAt time.Time            `json:"exported_at"`
	Account    query.UserExportView `json:"account"`
	Orders     []query.OrderView    `json:"orders" doc:"Newest first, each with its payment"`
	Commands   []exportedCommand    `json:"deferred_commands" doc:"Requests of the last week that had to wait for a service, oldest first"`
}

// exportedCommand is a deferred command and its outcome.
type exportedCommand struct {
	ID      string           `json:"id"`
	Name    string           `json:"command" example:"orders.place"`
	SentAt  time.Time        `json:"sent_at"`
	Body    any              `json:"body" doc:"What was sent"`
	Status  string           `json:"status" enum:"pending,done,refused"`
	Result  any              `json:"result,omitempty" doc:"The body of the response that the request would have had, once it is done"`
	Problem *problem.Problem `json:"problem,omitempty" doc:"Why it was refused"`
}

const (
	// exportPage is how many orders are in memory at a time.
	exportPage = 20
	// exportBuffer is how many bytes of an export are gathered before the response begins. An
	// export that fits, which is one of some 400 orders, is all or an error. A larger one may
	// break off.
	exportBuffer = 256 << 10
	// exportTimeout bounds how long deferred commands are looked for. There are 50,000 at most.
	exportTimeout = 20 * time.Second
)

// exportUser writes a userExport. Identity is asked first: it decides who may have it.
func (g *gateway) exportUser(c *httpapi.Call, in *UserPath) (*httpapi.Response, error) {
	id, err := in.user(c)
	if err != nil {
		return nil, err
	}
	account, err := c.Query(c.Request.Context(), query.UserExport{UserID: id})
	if err != nil {
		return nil, err
	}
	file := &exportFile{c: c, name: string(id) + ".json"}
	w := bufio.NewWriterSize(file, exportBuffer)
	now, _ := json.Marshal(time.Now().UTC()) // cannot fail
	_, _ = w.WriteString(`{"exported_at":` + string(now) + `,"account":` + string(account) + `,"orders":[`)
	err = exportOrders(c, id, w)
	if err == nil {
		_, _ = w.WriteString(`],"deferred_commands":[`)
		err = g.exportCommands(c, id, w)
	}
	if err == nil {
		_, _ = w.WriteString(`]}`)
		err = w.Flush()
	}
	if err != nil && file.begun {
		panic(http.ErrAbortHandler) // so that the client does not take it for complete
	}
	return httpapi.NewResponse(nil), err // the body is written already
}

// exportOrders writes a person's orders, newest first and separated by commas.
func exportOrders(c *httpapi.Call, customer events.UserID, w *bufio.Writer) error {
	first := true
	for page, more := (query.Page{Page: 1, Limit: exportPage}), true; more; {
		body, err := c.Query(c.Request.Context(), query.Orders{Customer: customer, Origin: c.Origin(), Page: page})
		if err != nil {
			return err
		}
		var orders query.List[json.RawMessage]
		if err := json.Unmarshal(body, &orders); err != nil {
			return err
		}
		for _, order := range orders.Data {
			if !first {
				_ = w.WriteByte(',') // an error comes again with the next call
			}
			first = false
			if _, err := w.Write(order); err != nil {
				return err
			}
		}
		page, more = page.Following(orders.Meta)
		c.Release()
	}
	return nil
}

// exportCommands writes the commands that a person deferred, separated by commas.
func (g *gateway) exportCommands(c *httpapi.Call, sender events.UserID, w *bufio.Writer) error {
	ctx, cancel := context.WithTimeout(c.Request.Context(), exportTimeout)
	defer cancel()
	first := true
	return g.Client.DeferredBy(ctx, string(sender), func(deferred bus.DeferredCommand) error {
		o := deferred.Outcome
		one := exportedCommand{ID: o.ID, Name: deferred.Name, SentAt: deferred.At, Body: deferred.Data, Status: o.Status}
		if o.Problem != nil {
			one.Problem = problem.FromError(o.Problem).In(name)
		}
		if o.Result != nil {
			one.Result = o.Result
		}
		body, err := json.Marshal(one)
		if err != nil {
			return err
		}
		if !first {
			_ = w.WriteByte(',')
		}
		first = false
		_, err = w.Write(body)
		return err
	})
}

// exportFile begins the response with the first byte that is written to it.
type exportFile struct {
	c     *httpapi.Call
	name  string
	begun bool
}

// Write implements io.Writer.
func (f *exportFile) Write(p []byte) (int, error) {
	if !f.begun {
		f.begun = true
		h := f.c.Writer.Header()
		h.Set("Content-Type", "application/json")
		h.Set("Content-Disposition", `attachment; filename="`+f.name+`"`)
		if seen := f.c.Seen.String(); seen != "" {
			h.Set("Consistency-Token", seen)
		}
	}
	return f.c.Writer.Write(p)
}
