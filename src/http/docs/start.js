/* global SwaggerUIBundle */
// Runs in the browser. It talks to this service alone: the validator that Swagger UI would ask is switched off.

/** A field of a form begins with its default, or empty: Swagger UI would make up a value, and send it. */
const noInventions = {
  afterLoad() {
    const sample = this.fn.getSampleSchema
    // Only fields of forms are asked for in this way; anything else is shown and never sent.
    this.fn.getSampleSchema = (schema, type, ...rest) => {
      if (type !== false) return sample(schema, type, ...rest)
      return schema.get('default') ?? (schema.get('type') === 'array' ? [] : '')
    }
  },
}

SwaggerUIBundle({
  url: 'openapi.json',
  dom_id: '#docs',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  defaultModelExpandDepth: 3,
  displayRequestDuration: true,
  validatorUrl: null,
  plugins: [noInventions],
})
