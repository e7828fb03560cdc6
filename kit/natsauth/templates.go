package natsauth

import (
	"fmt"
	"path/filepath"
	"strings"
	"text/template"
)

type conf = template.Template

// user is an identity in auth.conf. While a key is being replaced there are two.
type user struct {
	Name        string
	Keys        []string // public
	Permissions Permissions
}

// server is one of the servers in its own configuration.
type server struct {
	Name, Store, MaxStore string
	Cluster               string   // its name, and its routes' user
	Routes                []string // hosts of the whole cluster; none for a server alone
	Password              string   // of the routes
	Certificates          string   // their folder, "" for none
}

var functions = template.FuncMap{
	"responses": func() string { return fmt.Sprintf("{ max: %d, expires: %q }", answersAtMost, answersWithin) },
	"path":      filepath.Join,
	"list": func(subjects []string) string {
		if len(subjects) == 0 {
			return "[]"
		}
		const line = "\n              "
		return "[" + line + `"` + strings.Join(subjects, `"`+line+`"`) + `"` + "\n            ]"
	},
	"routes": func(s server) string {
		var urls []string
		for _, host := range s.Routes {
			urls = append(urls, `"nats-route://`+s.Cluster+`:`+s.Password+`@`+host+`:6222"`)
		}
		return strings.Join(urls, "\n    ")
	},
}

func parse(name, text string) *conf {
	return template.Must(template.New(name).Funcs(functions).Parse(text))
}

var authTemplate = parse("auth.conf", `# Who may connect, and what each may do. Generated from what
# the services declare: do not edit it, it will be overwritten. The keys
# are public ones.
accounts {
  {{.Account}} {
    jetstream: enabled
    users: [{{range $u := .Users}}{{range .Keys}}
      { # {{$u.Name}}
        nkey: {{.}}
        permissions {
          publish {
            allow: {{list $u.Permissions.Publish}}{{with $u.Permissions.DenyPublish}}
            deny: {{list .}}{{end}}
          }
          subscribe {
            allow: {{list $u.Permissions.Subscribe}}
          }{{if $u.Permissions.AllowResponses}}
          allow_responses {{responses}}{{end}}
        }
      }{{end}}{{end}}
    ]
  }
}
`)

var serverTemplate = parse("server.conf", `# NATS server {{.Name}}. Generated: do not edit it, it will be overwritten.
server_name: {{.Name}}
listen: 0.0.0.0:4222
http: 0.0.0.0:8222 # monitoring: /healthz, /varz, /jsz

# A client that hangs is found out soon: until then it keeps its place in the
# queue groups.
ping_interval: 5s
ping_max: 2

jetstream {
  store_dir: {{.Store}}
  # Every event is on the disk before it is acknowledged.
  sync_interval: always
  # Below the disk's size: at the limit the server says so, on a full disk it freezes.
  max_file_store: {{.MaxStore}}
  max_memory_store: 256MB
}
{{if .Certificates}}
tls {
  cert_file: {{path .Certificates .Name}}.pem
  key_file: {{path .Certificates .Name}}-key.pem
  min_version: "1.3"
}
{{end}}{{if .Routes}}
cluster {
  name: {{.Cluster}}
  listen: 0.0.0.0:6222
  ping_interval: 5s
  ping_max: 2
  authorization { user: {{.Cluster}}, password: "{{.Password}}" }
  routes: [
    {{routes .}}
  ]{{if .Certificates}}
  tls {
    cert_file: {{path .Certificates .Name}}.pem
    key_file: {{path .Certificates .Name}}-key.pem
    ca_file: {{path .Certificates "ca"}}.pem
    verify: true
  }{{end}}
}
{{end}}
include auth.conf
`)
