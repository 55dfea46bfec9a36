// The API's reference: Swagger UI on our own description. It may read with the page's session, but
// sends no request that changes anything, because the markets are real.
const place = document.getElementById("docs");

window.SwaggerUIBundle({
  domNode: place,
  url: place.dataset.schema,
  deepLinking: true,
  supportedSubmitMethods: ["get"],
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  syntaxHighlight: { activated: false }, // it uses inline styles, which the content security policy refuses
});
