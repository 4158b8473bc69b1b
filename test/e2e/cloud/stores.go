package cloud

// A store that an application reads: a bucket of S3, or a vault of Azure. Who may read it
// is nobody's business here but its administrators'.
type store struct {
	// reader is the ARN of a role, or the client id of an identity.
	reader string

	// tenant of a vault.
	tenant string

	items map[string]string
}

// AddBucket by its host's name, whose objects one role may read.
func (c *Cloud) AddBucket(host, roleARN string, objects map[string]string) {
	c.do(func() { c.stores[host] = store{reader: roleARN, items: objects} })
}

// AddVault of a tenant by its host's name, whose secrets one identity may read.
func (c *Cloud) AddVault(host, tenant, clientID string, secrets map[string]string) {
	c.do(func() { c.stores[host] = store{reader: clientID, tenant: tenant, items: secrets} })
}

// TenantOf a vault, empty where there is no such vault.
func (c *Cloud) TenantOf(host string) string {
	var tenant string
	c.do(func() { tenant = c.stores[host].tenant })
	return tenant
}

// Read an item of a bucket or vault as somebody, who may or may not, whether it exists
// or not.
func (c *Cloud) Read(host, reader, item string) (content string, may, exists bool) {
	c.do(func() {
		s := c.stores[host]
		if may = s.reader != "" && s.reader == reader; may {
			content, exists = s.items[item]
		}
	})
	return content, may, exists
}
