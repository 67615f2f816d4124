"""The base class of all forms: it reads form data only."""

from typing import Any

from flask import request
from flask_wtf import FlaskForm


class SiteForm(FlaskForm):
    """A form that reads only form fields: Flask-WTF would also read JSON and files.

    Before a form is read, public forms are protected by an origin check, and the desk's by a
    token.
    """

    class Meta:
        csrf = False

        def wrap_formdata(self, _form: FlaskForm, formdata: Any) -> Any:
            if formdata is None or hasattr(formdata, "getlist"):  # passed by the view
                return formdata
            return request.form or None if request.method == "POST" else None
